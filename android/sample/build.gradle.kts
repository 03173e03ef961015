plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
    alias(libs.plugins.kotlin.compose)
}

android {
    namespace = "dev.sprat.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "dev.sprat.sample"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }
    sourceSets["main"].apply {
        kotlin.srcDirs("src/main/kotlin", "src/logic/kotlin")
        assets.srcDir("../../examples/models")
    }
    // The tests are the JVM's: they run with `cargo xtask test --only kotlin`.
    sourceSets["test"].kotlin.setSrcDirs(emptyList<File>())
    // Mapped where it is in the package, instead of copied out of it.
    androidResources { noCompress += "gguf" }
    buildFeatures { compose = true }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin { compilerOptions { jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_17 } }

dependencies {
    implementation(project(":sdk")) // in an app of your own: implementation("dev.sprat:sprat-android:0.1.0")
    implementation(libs.coroutines.android)
    implementation(platform(libs.compose.bom))
    implementation(libs.compose.material3)
    implementation(libs.activity.compose)
    implementation(libs.lifecycle.viewmodel.compose)
    implementation(libs.lifecycle.runtime.compose)
    androidTestImplementation(libs.test.runner)
    androidTestImplementation(libs.test.junit)
}
